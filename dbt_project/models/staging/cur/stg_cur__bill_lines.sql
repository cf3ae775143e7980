with

source as (

    select * from {{ source('raw', 'bill_lines') }}

),

renamed as (

    select
        ---------- ids
        billing_month,
        bill_payer_account_id as payer_account_id,
        line_item_usage_account_id as usage_account_id,
        line_item_resource_id as resource_id,
        reservation_reservation_a_r_n as reservation_arn,
        capacity_reservation_capacity_reservation_arn as capacity_reservation_arn,
        split_line_item_parent_resource_id as split_parent_resource_id,
        source_file,

        ---------- what was billed
        line_item_line_item_type as line_type,
        line_item_product_code as product_code,
        line_item_usage_type as usage_type,
        line_item_operation as operation,
        product_product_family as product_family,
        product_instance_type,
        product_region_code as region_code,
        product,
        resource_tags,
        capacity_reservation_capacity_reservation_status as capacity_reservation_status,
        capacity_reservation_capacity_reservation_type as capacity_reservation_type,

        ---------- timestamps
        line_item_usage_start_date as usage_started_at,
        line_item_usage_end_date as usage_ended_at,

        ---------- quantities
        line_item_usage_amount as usage_amount,

        ---------- money
        line_item_unblended_cost as unblended_usd,
        line_item_net_unblended_cost as net_unblended_usd,
        pricing_public_on_demand_cost as public_on_demand_usd,
        reservation_effective_cost as reservation_effective_usd,
        reservation_net_effective_cost as reservation_net_effective_usd,
        reservation_unused_amortized_upfront_fee_for_billing_period
            as reservation_unused_upfront_usd,
        reservation_net_unused_amortized_upfront_fee_for_billing_period
            as reservation_net_unused_upfront_usd,
        reservation_unused_recurring_fee as reservation_unused_recurring_usd,
        reservation_net_unused_recurring_fee as reservation_net_unused_recurring_usd,
        savings_plan_savings_plan_effective_cost as savings_plan_effective_usd,
        savings_plan_net_savings_plan_effective_cost as savings_plan_net_effective_usd,
        savings_plan_total_commitment_to_date as savings_plan_commitment_usd,
        savings_plan_used_commitment as savings_plan_used_usd

    from source

)

select * from renamed
