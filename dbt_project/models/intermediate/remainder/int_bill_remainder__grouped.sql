{{ config(materialized='incremental') }}

with

lines as (

    select * from {{ ref('int_bill_charges') }}

),

categorized as (

    select
        *,
        case
            when is_capacity_block_fee then 'capacity_blocks'
            when line_type = 'Tax' then 'tax'
            when line_type = 'Credit' then 'credits'
            when line_type = 'Refund' then 'refunds'
            when line_type like '%Discount' then 'discounts'
            when
                line_type in (
                    'RIFee',
                    'SavingsPlanRecurringFee',
                    'SavingsPlanUpfrontFee',
                    'SavingsPlanNegation'
                )
                or (line_type = 'Fee' and is_of_reservation)
                then 'unused_commitments'
            when
                capacity_reservation_status = 'Unused'
                or resource_id like '%:capacity-reservation/%'
                or usage_type like '%UnusedBox:%'
                or usage_type like '%UnusedDed:%'
                then 'unused_capacity_reservations'
            when
                product_code like 'AWSSupport%'
                or product_code like 'OCB%'
                or product_code = 'AWSPremiumSupport'
                then 'support'
            when product_code = 'AmazonEKS' then 'eks_fees'
            when usage_type like '%EBS:%' or resource_id like 'vol-%' then 'ebs'
            when
                product_family = 'Data Transfer'
                or product_code = 'AWSDataTransfer'
                or usage_type like '%DataTransfer-%'
                or {{ regexp_like('usage_type', '-AWS-(In|Out)-Bytes$') }}
                then 'data_transfer'
            else 'other_services'
        end as category
    from lines
    where node_instance_id is null and not carries_pod

),

final as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        category,
        line_type,
        count(*) as line_count,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from categorized
    group by
        billing_month, payer_account_id, usage_account_id, region_code, category, line_type

)

select * from final
