with

{{ billed_payers() }},

unpriced as (

    select
        shared.billing_month,
        shared.payer_account_id,
        count(*) as hour_count,
        min(coalesce(shared.capacity_reservation_id || ' on ', '') || shared.instance_id)
            as example
    from {{ ref('int_bill_lines__shared') }} as shared
    left join {{ ref('int_capacity_blocks__used') }} as used
        on
            shared.billing_month = used.billing_month
            and shared.payer_account_id = used.payer_account_id
            and shared.instance_id = used.instance_id
            and shared.usage_hour = used.usage_hour
    where
        shared.is_of_capacity_block
        and shared.role = 'instance_in_block'
        and shared.usage_seconds > 0
        and used.instance_id is null
    group by shared.billing_month, shared.payer_account_id

),

{{ none_of_payers(
    'unpriced', 'hour_count', '0',
    "instance-hours in Capacity Blocks of which no bill that is here has the fee",
) }}

select * from final
