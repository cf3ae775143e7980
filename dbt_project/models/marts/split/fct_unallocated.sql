with

unallocated_costs as (

    select * from {{ source('split', 'unallocated_costs') }}

),

final as (

    select
        billing_month,
        payer_account_id as bill_payer_account_id,
        usage_account_id as line_item_usage_account_id,
        region_code,
        usage_hour::date as usage_date,
        usage_hour as line_item_usage_start_date,
        instance_id as split_line_item_parent_resource_id,
        instance_type,
        cluster_name,
        node_name,
        resource,
        reason,
        capacity_hours,
        unblended_usd,
        amortized_usd,
        net_amortized_usd,
        public_on_demand_usd
    from unallocated_costs

)

select * from final
